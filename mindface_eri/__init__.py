"""Emotional reaction intensity from a face and its voice, in MindSpore."""

__version__ = "0.1.0"
