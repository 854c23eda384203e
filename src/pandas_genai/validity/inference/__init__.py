"""Estimates from labels that stay valid although the labels have errors."""
