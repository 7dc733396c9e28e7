"""Message content: protobuf to and from plain data, media files, and encrypted poll votes. Pure."""
