"""What an account needs besides its orders: the user stream, signing, the exchange's clock."""
