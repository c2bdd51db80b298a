"""The deadlines of clients of our HTTP servers, and the bounds of what they send before a request is one."""

#: Seconds for the head of a request, from the connection or from the head's first byte on.
HEAD_SECONDS = 10.0
#: The same where clients keep idle connections: aiohttp's server counts from the last answer on.
IDLE_SECONDS = 20.0
#: Seconds for the body of a request; the API answers earlier that it takes too long.
BODY_SECONDS = 60.0
#: Seconds in which a client reads nothing of an answer that waits for it.
UNREAD_SECONDS = 120.0
#: Bytes of a head; what is shorter and still too long is refused in words.
HEAD_BYTES = 2**18
