"""The admin interface of the local exchange."""
