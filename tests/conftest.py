"""Makes the modules beside this file known to all tests."""
