"""Speech to motion: the networks of the paper, audio, weight bundles and the generator that joins them."""
