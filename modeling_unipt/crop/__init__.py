"""`unipt crop`: from videos and full frames to crops of people and their table, which `unipt index` takes.

videos.py and frames.py read frames, the detectors find people in them, tracks.py links the boxes of one person, and
writing.py writes crops and table.
"""
