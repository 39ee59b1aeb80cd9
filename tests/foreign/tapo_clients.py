#!/usr/bin/env python3
"""Runs third-party Tapo clients against a running simulated rack.

Every client logs in on every variant it supports, reads, switches off and on, reads the meter, uses a wrong password,
loses its session, and finds the plugs by discovery. Changes of a relay are verified with the rack's control API, not with
the client.

    tapo_clients.py http://127.0.0.1:PORT EMAIL PASSWORD

Ends with 0 only if every client could be tried and found nothing amiss.
"""

import asyncio
import json
import logging
import sys
import time
import traceback
import urllib.request

# How long a meter may take to show what the board draws: its lag, the ramp of the supply, and some air.
METER_WAIT_S = 8
# How far a meter may be off: the board's noise is 3 %, and it is read a moment later.
METER_TOLERANCE = 0.12
# How long one client may take for all its steps on one plug.
CASE_TIME_S = 60


class Rack:
    """The control API."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def plugs(self):
        return self.ask("/plugs")

    def order(self, plug, what, **body):
        return self.ask(f"/plugs/{plug}/{what}", body, "POST")

    def counters(self, plug):
        return self.ask(f"/plugs/{plug}/counters")

    def outlet(self, plug, position):
        return next(o for o in self.ask(f"/plugs/{plug}")["outlets"] if o["position"] == position)

    def last_change(self, plug, position):
        return self.ask(f"/plugs/{plug}/history?outlet={position}")[-1]


class Plug:
    """What a client is told of a plug."""

    def __init__(self, description, login="v1"):
        self.name = description["name"]
        self.model = description["model"].upper()
        self.variant = description["variant"]
        self.login = login
        self.host, port = description["address"].rsplit(":", 1)
        self.port = int(port)
        self.mac = description["mac"]
        self.discovery = description["discovery"]
        self.positions = [outlet["position"] for outlet in description["outlets"]]
        self.metered = self.model in ("P110", "P304M")

    def __str__(self):
        login = f" {self.login}" if self.variant == "passthrough" else ""
        return f"{self.model} {self.variant}{login}"


class Kasa:
    """python-kasa."""

    name = "python-kasa"
    measures_strips = True

    @staticmethod
    def supports(plug):
        return plug.variant != "tpap"

    @classmethod
    async def login(cls, plug, email, password):
        from kasa import Credentials, Device, DeviceConfig, DeviceConnectionParameters, DeviceEncryptionType, DeviceFamily
        from kasa.protocols import SmartProtocol
        from kasa.smart import SmartDevice
        from kasa.transports import KlapTransport

        aes = plug.variant == "passthrough"
        version = 2 if plug.variant == "klap_v2" or (aes and plug.login == "v2") else None
        config = DeviceConfig(
            host=plug.host,
            credentials=Credentials(email, password),
            connection_type=DeviceConnectionParameters(
                DeviceFamily.SmartTapoPlug,
                DeviceEncryptionType.Aes if aes else DeviceEncryptionType.Klap,
                login_version=version,
                http_port=plug.port,
            ),
        )
        self = cls()
        if plug.variant == "klap_v1":
            # It picks version 1 for Kasa devices only; the transport itself does not care.
            protocol = SmartProtocol(transport=KlapTransport(config=config))
            self.device = SmartDevice(plug.host, config=config, protocol=protocol)
            await self.device.update()
        else:
            self.device = await Device.connect(config=config)
        return self

    def outlet(self, position):
        if not self.device.children:
            return self.device
        return next(child for child in self.device.children if child.sys_info["position"] == position)

    async def states(self):
        await self.device.update()
        outlets = self.device.children or [self.device]
        return {child.sys_info.get("position", 1): child.is_on for child in outlets}

    async def switch(self, position, on):
        outlet = self.outlet(position)
        await (outlet.turn_on() if on else outlet.turn_off())

    async def watts(self, position):
        from kasa import Module

        # Falls back by itself to what an older meter has.
        return (await self.outlet(position).modules[Module.Energy].get_status()).power

    async def month_wh(self, position):
        from kasa import Module

        answer = await self.outlet(position).modules[Module.Energy].call("get_energy_usage")
        return answer["get_energy_usage"]["month_energy"]

    async def close(self):
        await self.device.disconnect()

    @staticmethod
    async def discover(plug, email, password):
        from kasa import Discover, UnsupportedDeviceError

        found = {}
        try:
            device = await Discover.discover_single(
                plug.host, username=email, password=password, discovery_timeout=5,
                on_discovered_raw=lambda raw: found.update(raw["discovery_response"]["result"]),
            )
            await device.disconnect()
        except UnsupportedDeviceError:
            assert plug.variant == "tpap", "only TPAP is unknown to this client"
        return found["mac"], found["mgt_encrypt_schm"]["encrypt_type"], found["mgt_encrypt_schm"]["http_port"]

    @staticmethod
    async def broadcast(address):
        from kasa import Discover

        found = set()
        # Kept out of the answer: devices are built of it, and nothing but discovery is asked for here.
        devices = await Discover.discover(
            target=address, discovery_timeout=3,
            on_discovered_raw=lambda raw: found.add(raw["discovery_response"]["result"]["mac"]),
        )
        for device in devices.values():
            await device.disconnect()
        return found


class Plugp100:
    """plugp100."""

    name = "plugp100"
    measures_strips = False

    @staticmethod
    def supports(_plug):
        return True

    @classmethod
    async def login(cls, plug, email, password):
        from plugp100.common.credentials import AuthCredential
        from plugp100.devices.factory import DeviceConnectConfiguration, connect

        scheme = {"klap_v1": ("klap", 1), "klap_v2": ("klap", 2), "passthrough": ("aes", 1), "tpap": ("tpap", 2)}
        kind, version = scheme[plug.variant]
        self = cls()
        self.device = await connect(DeviceConnectConfiguration(
            host=plug.host, port=plug.port, credentials=AuthCredential(email, password),
            device_type="SMART.TAPOPLUG", encryption_type=kind, encryption_version=version,
        ))
        try:
            await self.device.update()
        except BaseException:
            await self.close()
            raise
        return self

    def outlet(self, position):
        if not self.device.is_strip:
            return self.device
        return next(socket for socket in self.device.sockets if socket.raw_state["position"] == position)

    async def states(self):
        await self.device.update()
        for socket in self.device.sockets:
            await socket.update()
        outlets = self.device.sockets or [self.device]
        return {outlet.raw_state.get("position", 1): outlet.is_on for outlet in outlets}

    async def switch(self, position, on):
        outlet = self.outlet(position)
        (await (outlet.turn_on() if on else outlet.turn_off())).get_or_raise()

    async def watts(self, _position):
        from plugp100.components.energy import EnergyComponent

        await self.device.update()
        return self.device.get_component(EnergyComponent).power_info.current_power

    async def month_wh(self, _position):
        from plugp100.components.energy import EnergyComponent

        await self.device.update()
        return self.device.get_component(EnergyComponent).energy_info.month_energy

    async def close(self):
        await self.device.client.close()

    @staticmethod
    async def discover(plug, _email, _password):
        from plugp100.discovery import TapoDiscovery

        found = await TapoDiscovery.single_scan(plug.host, timeout=1)
        assert found is not None, "no answer"
        return found.mac, found.mgt_encrypt_schm.encrypt_type, found.mgt_encrypt_schm.http_port

    @staticmethod
    async def broadcast(address):
        from plugp100.discovery import TapoDiscovery

        return {device.mac for device in await TapoDiscovery.scan(timeout=2, broadcast=address)}


class PyP100:
    """PyP100."""

    name = "PyP100"
    measures_strips = False
    discover = None
    broadcast = None

    @staticmethod
    def supports(plug):
        return plug.variant == "passthrough" and plug.login == "v1"

    @classmethod
    async def login(cls, plug, email, password):
        from PyP100 import PyP110

        self = cls()
        self.device = PyP110.P110(f"{plug.host}:{plug.port}", email, password)
        await asyncio.to_thread(self.device.handshake)
        await asyncio.to_thread(self.device.login)
        return self

    async def states(self):
        info = await asyncio.to_thread(self.device.getDeviceInfo)
        return {1: info["result"]["device_on"]}

    async def switch(self, _position, on):
        await asyncio.to_thread(self.device.turnOn if on else self.device.turnOff)

    async def watts(self, _position):
        usage = await asyncio.to_thread(self.device.getEnergyUsage)
        return usage["result"]["current_power"] / 1000

    async def month_wh(self, _position):
        usage = await asyncio.to_thread(self.device.getEnergyUsage)
        return usage["result"]["month_energy"]

    async def close(self):
        self.device.session.close()


CLIENTS = [Kasa, Plugp100, PyP100]


class Judge:
    def __init__(self, rack, email, password):
        self.rack = rack
        self.account = (email, password)
        self.rows = []

    async def case(self, client, plug, what, steps):
        began = time.monotonic()
        try:
            said = await asyncio.wait_for(steps, CASE_TIME_S)
            verdict = "ok"
        except BaseException as error:  # whatever a client may throw is a finding
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            said, verdict = f"{type(error).__name__}: {error}", "FAILED"
            traceback.print_exc()
        took = time.monotonic() - began
        self.rows.append((client.name, str(plug), what, verdict, f"{took:.1f} s", said or ""))

    async def switching(self, client, plug):
        """Off and on at every outlet, believed only if the board says so too."""
        session = await client.login(plug, *self.account)
        try:
            before = self.rack.counters(plug.name)["relay_writes"]
            for position in plug.positions:
                for on in (False, True):
                    await session.switch(position, on)
                    change = self.rack.last_change(plug.name, position)
                    assert (change["on"], change["cause"]) == (on, "client"), f"outlet {position}: {change}"
                    states = await session.states()
                    real = {p: self.rack.outlet(plug.name, p)["on"] for p in plug.positions}
                    assert states == real, f"client says {states}, the board {real}"
            writes = self.rack.counters(plug.name)["relay_writes"] - before
            assert writes == 2 * len(plug.positions), f"{writes} relay writes"
            self.rack.order(plug.name, "button", outlet=plug.positions[-1])
            assert (await session.states())[plug.positions[-1]] is False, "the button was not seen"
            self.rack.order(plug.name, "button", outlet=plug.positions[-1])
        finally:
            await session.close()
        return f"{writes} writes"

    async def metering(self, client, plug):
        """Watts follow the board; energy is what the counters say."""
        positions = plug.positions if client.measures_strips else plug.positions[:1]
        session = await client.login(plug, *self.account)
        try:
            for position in positions:
                ends = time.monotonic() + METER_WAIT_S
                while True:
                    watts = await session.watts(position)
                    real = self.rack.outlet(plug.name, position)["draw_mw"] / 1000
                    # A meter that gives whole watts cuts off up to one.
                    if watts is not None and abs(watts - real) <= real * METER_TOLERANCE + 1:
                        break
                    assert time.monotonic() < ends, f"client says {watts} W, the board {real} W"
                    await asyncio.sleep(0.3)
                self.rack.order(plug.name, "energy", outlet=position, wh=1234)
                month = await session.month_wh(position)
                real = self.rack.outlet(plug.name, position)["month_wh"]
                assert abs(month - real) <= 1, f"client says {month} Wh this month, the board {real} Wh"
        finally:
            await session.close()
        return f"{watts:.1f} W, {month:.0f} Wh"

    async def wrong_password(self, client, plug):
        """A wrong password is noticed."""
        logging.disable(logging.CRITICAL)
        try:
            session = await client.login(plug, self.account[0], "not-this-one")
        except Exception as error:
            return type(error).__name__
        finally:
            logging.disable(logging.NOTSET)
            self.rack.order(plug.name, "unlock")
        try:
            await session.states()
        except Exception as error:
            return type(error).__name__
        finally:
            await session.close()
        raise AssertionError("it got in")

    async def eviction(self, client, plug):
        """The second login throws out the first; both clients come back by themselves."""
        if client is Plugp100 and plug.variant == "tpap":
            # Of the codes in use it takes only some for a lost session.
            self.rack.order(plug.name, "quirks", lost={"code": 9999})
        first = await client.login(plug, *self.account)
        before = self.rack.counters(plug.name)
        second = await client.login(plug, *self.account)
        after = self.rack.counters(plug.name)
        try:
            assert after["evictions"] > before["evictions"], "no one was evicted"
            if client is PyP100:
                # It has no way back by itself: it must be thrown out, that is all.
                try:
                    await first.states()
                except Exception as error:
                    return type(error).__name__
                raise AssertionError("an evicted session was answered")
            await first.states()
            stale = self.rack.counters(plug.name)["stale_requests"] - before["stale_requests"]
            assert stale > 0, "no request of the evicted client was refused"
            return f"{stale} refused"
        finally:
            await first.close()
            await second.close()
            self.rack.order(plug.name, "quirks")

    async def oddities(self, client, plug):
        """Firmware differs in small ways; a client that works on real plugs bears them all."""
        quirks = ["close_after_answer", "text_html", "title_case_only", "page_for_empty_header"]
        if plug.variant == "passthrough" and client is Kasa:
            quirks.append("plain_response")
        try:
            for quirk in quirks:
                self.rack.order(plug.name, "quirks", **{quirk: True})
                session = await client.login(plug, *self.account)
                try:
                    states = await session.states()
                finally:
                    await session.close()
                assert len(states) == len(plug.positions), f"with {quirk}: {states}"
        finally:
            self.rack.order(plug.name, "quirks")
        return f"{len(quirks)} borne"

    async def discovery(self, client, plug):
        mac, kind, port = await client.discover(plug, *self.account)
        want = {"passthrough": "AES", "klap_v1": "KLAP", "klap_v2": "KLAP", "tpap": "TPAP"}[plug.variant]
        assert (mac, kind, port) == (plug.mac, want, plug.port), f"{mac} {kind} {port}"
        return kind

    async def broadcast(self, client, plugs, address):
        found = await client.broadcast(address)
        missing = {plug.mac for plug in plugs} - found
        assert not missing, f"not found: {missing}"
        return f"{len(found)} found"

    async def run(self):
        plugs = []
        for description in self.rack.plugs():
            plugs.append(Plug(description))
            if description["variant"] == "passthrough":
                plugs.append(Plug(description, "v2"))
        for plug in plugs:
            if plug.variant == "passthrough":
                self.rack.order(plug.name, "login", version=plug.login)
            for client in (client for client in CLIENTS if client.supports(plug)):
                if client is PyP100 and plug.model != "P110":
                    continue
                await self.case(client, plug, "switching", self.switching(client, plug))
                if plug.metered and (client.measures_strips or len(plug.positions) == 1):
                    await self.case(client, plug, "metering", self.metering(client, plug))
                await self.case(client, plug, "eviction", self.eviction(client, plug))
                await self.case(client, plug, "oddities", self.oddities(client, plug))
                await self.case(client, plug, "wrong password", self.wrong_password(client, plug))
                if client.discover and plug.discovery:
                    await self.case(client, plug, "discovery", self.discovery(client, plug))
        return plugs


def table(rows):
    head = ("client", "plug", "what", "verdict", "took", "")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(5)]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)), row[5])


async def main():
    if len(sys.argv) not in (4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    rack = Rack(sys.argv[1])
    judge = Judge(rack, sys.argv[2], sys.argv[3])
    plugs = await judge.run()
    if len(sys.argv) == 5:
        for client in (client for client in CLIENTS if client.broadcast):
            await judge.case(client, f"at {sys.argv[4]}", "broadcast", judge.broadcast(client, plugs, sys.argv[4]))
    table(judge.rows)
    failed = [row for row in judge.rows if row[3] != "ok"]
    untried = [client.name for client in CLIENTS if client.name not in {row[0] for row in judge.rows}]
    for name in untried:
        print(f"{name}: could not be tried, the rack has no plug for it")
    variants = {"passthrough", "klap_v1", "klap_v2", "tpap"} - {plug.variant for plug in plugs}
    for variant in variants:
        print(f"{variant}: could not be tried, the rack has no such plug")
    print(f"{len(judge.rows) - len(failed)} of {len(judge.rows)} cases are well")
    return 1 if failed or untried or variants or not judge.rows else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
