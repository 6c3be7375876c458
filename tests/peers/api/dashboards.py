def faults(text):
    return []
