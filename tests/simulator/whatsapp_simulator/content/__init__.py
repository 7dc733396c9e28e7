"""What messages say: their protobuf to and from plain data, media files, and sealed poll votes. Pure."""
