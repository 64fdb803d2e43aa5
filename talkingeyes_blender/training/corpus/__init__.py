"""A synthetic corpus: speech programs say when each sound is made, published laws say how a face moves with it."""

# SPDX-License-Identifier: GPL-3.0-or-later
