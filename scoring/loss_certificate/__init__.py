"""The loss certificate: the most that a seller who runs with the buyers' money can take, with its proof."""
