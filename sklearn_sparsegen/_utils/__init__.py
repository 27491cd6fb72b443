"""What all parts of the library use."""
