"""The role that keeps order books: one pair or several over one socket."""
