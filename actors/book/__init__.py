"""The role that keeps order books, of one pair or several, over one socket."""
