"""The server: proxy and TLS, WebSocket frames, the Noise transport, and one link per client."""
