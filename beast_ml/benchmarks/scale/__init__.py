"""What a request costs, what a million of them a second would take, and what breaks first: `beast bench scale`."""
