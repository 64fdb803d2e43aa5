"""How good the starter weights are on what they have never heard: ``training evaluate-starter``."""

# SPDX-License-Identifier: GPL-3.0-or-later
