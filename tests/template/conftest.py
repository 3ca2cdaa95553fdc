import logging

# The translator logs its disabled features at each use.
logging.disable(logging.WARNING)
