"""Lets all tests import the modules in this folder."""
