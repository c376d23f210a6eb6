"""The role that lists an exchange's instruments and answers for pairs that the mesh does not track."""
