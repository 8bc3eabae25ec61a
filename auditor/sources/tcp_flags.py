"""The control bits of a TCP header, as RFC 9293, section 3.1, and RFC 3168, section 6.1, number them."""

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
