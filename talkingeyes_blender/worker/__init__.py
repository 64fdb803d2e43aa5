"""The process that holds torch, and Blender's line to it."""
