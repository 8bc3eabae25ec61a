"""Packet captures: containers, link layers, IP, and what is read of each packet."""
