"""What the phones do: encrypt and decrypt messages, keep what arrives, and answer with receipts."""
