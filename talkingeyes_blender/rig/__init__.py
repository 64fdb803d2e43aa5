"""The only code that reads or writes Blender data: head rigs, strips, curves, takes."""
