"""The behaviour of phones: encrypt and decrypt messages, store what arrives, and send receipts."""
