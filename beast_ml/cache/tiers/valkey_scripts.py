"""What the Valkey tier does on the server, in Lua: each script is one round trip, and atomic.

Keys, all under one hash tag so that a cluster keeps them together; an entry and its pointers end by themselves:

    e:ID            hash: t(enant), x (exact), n(ormalised), c(reated at), b(ody)
    x:DIGEST        the id of the youngest entry under an exact key
    n:DIGEST        the same under a normalised key
    tenants         set of the tenants that have books

A tenant's books, of what it keeps (they, too, end when the last entry does):

    m:TENANT        hash: "i" + ID -> size and created at; "bytes" -> sum of sizes; "floor" -> see `quota`
    d:TENANT        sorted set of ids by when they expire (death)
    p:TENANT        sorted set of created at + ID by priority
"""

from __future__ import annotations

from typing import Final

__all__ = ["BY_ID", "GET", "PRELUDE", "PUT", "REMOVE", "USAGE"]

PRELUDE: Final = """
local P = KEYS[1]
local call = redis.call

local function unbook(tenant, id)
  local m = P..'m:'..tenant
  local noted = call('HGET', m, 'i'..id)
  if noted then
    local size, created = string.match(noted, '^(%d+) (.*)$')
    call('HINCRBY', m, 'bytes', '-'..size)
    call('HDEL', m, 'i'..id)
    call('ZREM', P..'p:'..tenant, created..id)
  end
  call('ZREM', P..'d:'..tenant, id)
end

local function forget(id)
  local row = call('HMGET', P..'e:'..id, 't', 'x', 'n')
  if not row[1] then return false end
  if call('GET', P..'x:'..row[2]) == id then call('DEL', P..'x:'..row[2]) end
  if call('GET', P..'n:'..row[3]) == id then call('DEL', P..'n:'..row[3]) end
  call('DEL', P..'e:'..id)
  unbook(row[1], id)
  return true
end

-- what has ended by the server's clock has left its line in the books
local function tidy(tenant, now)
  local m, d, p = P..'m:'..tenant, P..'d:'..tenant, P..'p:'..tenant
  local ended = call('ZRANGEBYSCORE', d, '-inf', now, 'LIMIT', 0, 1000)
  for _, id in ipairs(ended) do
    if not forget(id) then unbook(tenant, id) end
  end
  -- a server that is told to may have evicted some of the books: they are begun anew
  local n = call('HLEN', m)
  if call('ZCARD', d) ~= call('ZCARD', p) or math.max(0, n - 2) ~= call('ZCARD', d) then call('DEL', m, d, p) end
end
"""
"""What stands before every script."""

GET: Final = """
local found = {}
for i = 1, #ARGV do
  local best, born = false, -math.huge
  for _, kind in ipairs({'x:', 'n:'}) do
    local id = call('GET', P..kind..ARGV[i])
    if id then
      local row = call('HMGET', P..'e:'..id, 'c', 'b')
      if row[1] and tonumber(row[1]) > born then best, born = row[2], tonumber(row[1]) end
    end
  end
  found[i] = best
end
return found
"""
"""Entries by their keys."""

BY_ID: Final = """
local found = {}
for i = 1, #ARGV do found[i] = call('HGET', P..'e:'..ARGV[i], 'b') end
return found
"""
"""Entries by their ids."""

REMOVE: Final = """
local now, n = tonumber(ARGV[1]), 0
for i = 2, #ARGV do
  local tenant = call('HGET', P..'e:'..ARGV[i], 't')
  local dies = tenant and call('ZSCORE', P..'d:'..tenant, ARGV[i])
  if forget(ARGV[i]) and not (dies and tonumber(dies) <= now) then n = n + 1 end
end
return n
"""
"""Take entries out."""

USAGE: Final = """
local rows = {}
for _, tenant in ipairs(call('SMEMBERS', P..'tenants')) do
  tidy(tenant, ARGV[1])
  local n = call('ZCARD', P..'d:'..tenant)
  if n > 0 then
    rows[#rows + 1] = {tenant, n, tonumber(call('HGET', P..'m:'..tenant, 'bytes'))}
  else
    call('SREM', P..'tenants', tenant)
  end
end
return rows
"""
"""What tenants have."""

PUT: Final = """
local now, max_entries, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tidied = {}

local function youngest(pointer)
  local id = call('GET', pointer)
  local born = id and call('HGET', P..'e:'..id, 'c')
  return id, born and tonumber(born)
end

for i = 4, #ARGV, 9 do
  local id, tenant, exact, normalised, created = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local dies, value, body = ARGV[i + 5], tonumber(ARGV[i + 6]), ARGV[i + 7]
  local alive, size = ARGV[i + 8] == '1', #body
  local m, d, p = P..'m:'..tenant, P..'d:'..tenant, P..'p:'..tenant
  if not tidied[tenant] then tidy(tenant, now) tidied[tenant] = true end
  forget(id)
  local same, born = youngest(P..'x:'..exact)
  if alive and size <= max_bytes and not (born and born > tonumber(created)) then
    if same then forget(same) end
    local floor = tonumber(call('HGET', m, 'floor') or '0')
    while call('ZCARD', d) >= max_entries or tonumber(call('HGET', m, 'bytes') or '0') + size > max_bytes do
      local first = call('ZPOPMIN', p)
      if not first[1] then call('DEL', m, d, p) break end
      floor = tonumber(first[2])
      local victim = string.sub(first[1], #created + 1)
      if not forget(victim) then unbook(tenant, victim) end
    end
    call('HSET', P..'e:'..id, 't', tenant, 'x', exact, 'n', normalised, 'c', created, 'b', body)
    call('PEXPIREAT', P..'e:'..id, dies)
    call('SET', P..'x:'..exact, id, 'PXAT', dies)
    local _, other = youngest(P..'n:'..normalised)
    if not (other and other > tonumber(created)) then call('SET', P..'n:'..normalised, id, 'PXAT', dies) end
    call('HSET', m, 'i'..id, size..' '..created, 'floor', string.format('%.17g', floor))
    call('HINCRBY', m, 'bytes', size)
    call('ZADD', d, dies, id)
    call('ZADD', p, string.format('%.17g', floor + value), created..id)
    call('SADD', P..'tenants', tenant)
    local last = call('ZRANGE', d, -1, -1, 'WITHSCORES')[2]
    for _, book in ipairs({m, d, p}) do call('PEXPIREAT', book, string.format('%.0f', tonumber(last))) end
  end
end
return 1
"""
"""Take an entry in, and make room for it."""
