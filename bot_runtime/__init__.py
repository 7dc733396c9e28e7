"""The process in every bot container: one WhatsApp account, reached through neonize, behind a small HTTP endpoint."""
