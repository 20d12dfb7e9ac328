"""`beast bench cache`: what the semantic cache gives, beside a fixed cosine, GPTCache and vCache's rule."""
