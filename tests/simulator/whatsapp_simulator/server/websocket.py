"""WebSocket on an asyncio stream, and WhatsApp's frames inside it: 3 bytes length, then the frame."""

from __future__ import annotations

import asyncio

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

_PATH = "/ws/chat"
_READ_SIZE = 65536
_LENGTH = 3
#: A client sends 4 bytes before its first frame.
PROLOGUE_SIZE = 4


class WebSocket:
    """The server's end of one WebSocket; also the `Wire` of a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = ServerProtocol()
        self._buffer = bytearray()

    async def accept(self) -> bool:
        """Respond to the opening handshake; False if the request was refused because it is not for the chat."""
        while not (events := self._protocol.events_received()):
            if not await self._read():
                return False
        request = events[0]
        if not isinstance(request, Request):
            return False
        if request.path.partition("?")[0] == _PATH:
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(404, "only " + _PATH + " is available\n")
        self._protocol.send_response(response)
        await self._flush()
        return response.status_code == 101

    async def prologue(self) -> bytes:
        """The bytes before the first frame."""
        return await self._exactly(PROLOGUE_SIZE)

    async def frame(self) -> bytes:
        """The next frame; EOFError if the client has disconnected."""
        size = int.from_bytes(await self._exactly(_LENGTH), "big")
        return await self._exactly(size)

    def send(self, frame: bytes) -> None:
        """Send one frame; does nothing if the connection is closed."""
        if self._writer.is_closing():
            return
        self._protocol.send_binary(len(frame).to_bytes(_LENGTH, "big") + frame)
        self._write()

    def close(self) -> None:
        """Close the connection gracefully."""
        if self._writer.is_closing():
            return
        self._protocol.send_close(1000)
        self._write()
        self._writer.close()

    def abort(self) -> None:
        """Abort the connection."""
        self._writer.transport.abort()

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self._read():
                raise EOFError
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                    self._buffer += event.data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _read(self) -> bool:
        data = await self._reader.read(_READ_SIZE)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        await self._flush()
        return bool(data)

    async def _flush(self) -> None:
        self._write()
        if not self._writer.is_closing():
            await self._writer.drain()

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof():
                self._writer.write_eof()
