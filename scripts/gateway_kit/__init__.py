"""Checks of the internet gateway's texts with real tools."""
