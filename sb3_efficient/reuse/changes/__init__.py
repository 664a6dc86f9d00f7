"""
What changed since the last observation: a network is read (``network``, ``quantized_graph``), laid out as a table
(``program``), and computed where its inputs changed (``interpret``), for one environment a row (``reuser``).
"""
