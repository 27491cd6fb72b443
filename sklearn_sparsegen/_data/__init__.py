"""Where rows of data come from, and conversion between arrays and tensors."""
