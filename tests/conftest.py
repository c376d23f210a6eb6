"""What holds for every test."""

from hypothesis import settings

settings.register_profile("venuemesh", deadline=None)  # no test depends on the machine being fast
settings.load_profile("venuemesh")
