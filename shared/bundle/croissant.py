def croissant(manifest): return {}
