import logging

# The translator says at each use which of its features are off.
logging.disable(logging.WARNING)
