"""
What was seen before: patches of images get numbers (``distinct``), and each is computed once, within a minibatch
(``first``, ``training``) or for as long as there is memory (``memo``, ``rememberer``).
"""
