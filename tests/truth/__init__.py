"""What the program says about histories, held against what real servers do with them."""
