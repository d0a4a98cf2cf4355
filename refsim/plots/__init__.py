"""Figures: plot functions take an Axes and numbers that are already computed, and draw; nothing is computed here.

Matplotlib is imported in this folder and nowhere else. Styles and sizes are in `style`.
"""
