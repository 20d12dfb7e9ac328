"""From a prompt to numbers: static encoder, prompt features, history; one code path offline and online."""
