"""Recipes, and the demo pipeline; they run in the tests."""
