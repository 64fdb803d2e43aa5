"""FLAME-format heads without Blender: reading a file, skinning, lids, the stand-in, transfer between bases."""
