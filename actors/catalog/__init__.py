"""The role that lists an exchange's instruments and answers for pairs that nobody tracks."""
