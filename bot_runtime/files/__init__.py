"""Files of messages: uploads, downloads and transfers, with bounded memory."""
