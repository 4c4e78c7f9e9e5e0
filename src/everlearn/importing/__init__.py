"""Other frameworks' results: their matrices, read as they write them and computed anew."""
