"""The ledger's steps in Lua. What one entry does is `beast_ml.operations.budgets.booking`, in the same order.

Keys, all under one hash tag so that a cluster keeps them together:

    meta                   hash: rules_version, declared, day, month, forwarded (the last number given), state (name)
    rules, limits          list of rules as JSON; hash of rule name -> nano-dollars
    a:ACCOUNT|WINDOW       hash: settled, lost, leased, reserved, wanted_at
    t:TENANT, tenants      sets: the accounts of a tenant ("" for global ones) as ACCOUNT|WINDOW; the tenants
    h:HOLDER, seen         hash: seq, state; sorted set of living holders by when they were seen
    l:HOLDER               hash: ACCOUNT|WINDOW -> [amount, open, expired]
    r:RESERVATION          lost reservation: {upper, charges}
    s:ACCOUNT|WINDOW       hash: who spent of it -> [spent, lost]; see `beast_ml.operations.budgets.spenders`
    regions, awaited       hash: region -> when it was last seen; set of regions that have to say what they know
    f, fa                  forwarded settlements: sorted set of reservations by number; hash -> [number, actual, at]

Old windows, holders and lost reservations end by themselves (`EXPIRE`); a window earlier than the latest is closed.
"""

from __future__ import annotations

from typing import Final

from beast_ml.operations.budgets.booking import BUFFER_SHARE, CONTENDED_S
from beast_ml.operations.budgets.ledger import AHEAD_S
from beast_ml.operations.budgets.spenders import JOURNALS, KEEP_REGIONS_S

__all__ = ["ACCOUNTS", "APPLIED", "AWAITED", "EXCHANGE", "EXPIRE", "GO_WITHOUT", "PRELUDE", "RULES", "SET_RULES"]

_CONSTANTS: Final = f"""
local BUFFER_SHARE, CONTENDED_S, AHEAD_S = {BUFFER_SHARE}, {CONTENDED_S}, {AHEAD_S:.0f}
local JOURNALS, KEEP_REGIONS_S = '{JOURNALS}', {KEEP_REGIONS_S:.0f}
"""

_FUNCTIONS: Final = """
local DAY = 86400
local P = KEYS[1]
local asked = cjson.decode(ARGV[1])
local call = redis.call

local function int(x) return string.format('%.0f', x) end
local function num(x) return tonumber(x) or 0 end
local function given(x) return x ~= nil and x ~= cjson.null end
local function meta(name) return call('HGET', P..'meta', name) or '' end

-- cjson writes an empty table as an object: we write such answers ourselves
local function array(x)
  if #x == 0 then return '[]' end
  return '['..table.concat(x, ',')..']'
end

local accounts = {}
local function account(charge, tenant)
  local found = accounts[charge]
  if not found then
    local row = call('HMGET', P..'a:'..charge, 'settled', 'lost', 'leased', 'reserved', 'wanted_at', 'tenant')
    found = {settled=num(row[1]), lost=num(row[2]), leased=num(row[3]), reserved=num(row[4]), wanted_at=num(row[5]),
             tenant=row[6] or tenant}
    accounts[charge] = found
  end
  return found
end
local function store_accounts()
  for charge, row in pairs(accounts) do
    local key = P..'a:'..charge
    call('HSET', key, 'settled', int(row.settled), 'lost', int(row.lost), 'leased', int(row.leased),
         'reserved', int(row.reserved), 'wanted_at', string.format('%.3f', row.wanted_at), 'tenant', row.tenant or '')
    call('EXPIRE', key, 100 * DAY)
    call('SADD', P..'t:'..(row.tenant or ''), charge)
    call('SADD', P..'tenants', row.tenant or '')
  end
end

local function leases_of(holder)
  local found, flat = {}, call('HGETALL', P..'l:'..holder)
  for i = 1, #flat, 2 do
    local row = cjson.decode(flat[i + 1])
    found[flat[i]] = {amount=row[1], open=row[2], expired=row[3]}
  end
  return found
end
local function store_leases(holder, leases)
  local key = P..'l:'..holder
  for charge, row in pairs(leases) do
    if row.amount ~= 0 or row.open ~= 0 or row.expired ~= 0 then
      call('HSET', key, charge, '['..int(row.amount)..','..int(row.open)..','..int(row.expired)..']')
    else
      call('HDEL', key, charge)
    end
  end
end

local spenders = {}
local function spenders_of(charge)
  local found = spenders[charge]
  if not found then
    found = {}
    local flat = call('HGETALL', P..'s:'..charge)
    for i = 1, #flat, 2 do
      local row = cjson.decode(flat[i + 1])
      found[flat[i]] = {spent=row[1], lost=row[2]}
    end
    spenders[charge] = found
  end
  return found
end
local function spender(charge, name)
  local rows = spenders_of(charge)
  rows[name] = rows[name] or {spent=0, lost=0}
  return rows[name]
end
local function store_spenders()
  for charge, rows in pairs(spenders) do
    for name, row in pairs(rows) do
      call('HSET', P..'s:'..charge, name, '['..int(row.spent)..','..int(row.lost)..']')
      call('EXPIRE', P..'s:'..charge, 100 * DAY)
    end
  end
end
local function counted(charge)
  local states, regions, journals = 0, 0, 0
  for name, row in pairs(spenders_of(charge)) do
    if name == JOURNALS then
      journals = row.spent
    elseif string.sub(name, 1, #JOURNALS) == JOURNALS then
      states = states + row.spent
    else
      regions = regions + row.spent
    end
  end
  return regions + math.max(states, journals)
end
local function own(charge)
  local others = 0
  for name, row in pairs(spenders_of(charge)) do
    if name ~= JOURNALS then others = others + row.spent end
  end
  return account(charge).settled + account(charge).lost - others
end
local function awaited()
  local names = call('SMEMBERS', P..'awaited')
  table.sort(names)
  return names
end
local function names_of(x)
  for i, name in ipairs(x) do x[i] = cjson.encode(name) end
  return array(x)
end

local function rule_book()
  local rules = call('LRANGE', P..'rules', 0, -1)
  for i, text in ipairs(rules) do rules[i] = cjson.encode(text) end
  return '{"version":'..int(num(meta('rules_version')))..',"rules":'..array(rules)
    ..',"declared":'..cjson.encode(meta('declared'))..'}'
end
"""

PRELUDE: Final = _CONSTANTS + _FUNCTIONS
"""What stands before every script."""

RULES: Final = "return rule_book()"
"""The rules that hold."""

SET_RULES: Final = """
if given(asked.declared) and asked.declared == meta('declared') then return rule_book() end
call('DEL', P..'rules', P..'limits')
for _, text in ipairs(asked.rules) do call('RPUSH', P..'rules', text) end
for name, limit in pairs(asked.limits) do call('HSET', P..'limits', name, int(limit)) end
call('HINCRBY', P..'meta', 'rules_version', 1)
if given(asked.declared) then call('HSET', P..'meta', 'declared', asked.declared) end
return rule_book()
"""
"""Replace them."""

EXCHANGE: Final = """
local batch = asked.batch
local now = batch.now_s
local hkey = P..'h:'..batch.holder
local row = call('HMGET', hkey, 'seq', 'state')
local seq, state = num(row[1]), row[2] or 'live'
if state == 'closed' then return '{"state":"closed"}' end
local fresh = batch.seq == seq + 1
if not fresh and (batch.final or batch.seq ~= seq) then return '{"state":"stale"}' end

for _, told in ipairs(batch.settlements) do  -- correct what is lost, keep the rest for the holder that has it
  local name, actual = told[1], told[2]
  local text = call('GET', P..'r:'..name)
  if text then
    local lost = cjson.decode(text)
    actual = math.min(actual, lost.upper)
    for _, charge in ipairs(lost.charges) do
      local a = account(charge[1]..'|'..charge[2])
      a.settled = a.settled + actual
      a.lost = a.lost - lost.upper
    end
    call('DEL', P..'r:'..name)
  elseif call('HEXISTS', P..'fa', name) == 0 then
    local n = call('HINCRBY', P..'meta', 'forwarded', 1)
    call('ZADD', P..'f', n, name)
    call('HSET', P..'fa', name, '['..int(n)..','..int(actual)..','..int(now)..']')
  end
end

local leases = leases_of(batch.holder)
local function lease(charge)
  local found = leases[charge]
  if not found then
    found = {amount=0, open=0, expired=0}
    leases[charge] = found
  end
  return found
end
if state == 'expired' then
  for charge, l in pairs(leases) do
    local a = account(charge)
    a.lost = a.lost - l.expired
    a.leased = a.leased + l.expired
    l.amount = l.amount + l.expired
    l.expired = 0
  end
end

local clock = tonumber(call('TIME')[1])
local is_region, state_name = batch.region ~= '', ''
if is_region then
  if meta('state') == '' then call('HSET', P..'meta', 'state', asked.state) end
  state_name = meta('state')
  for _, name in ipairs(batch.others) do
    if name ~= batch.region and call('HEXISTS', P..'regions', name) == 0 then
      call('HSET', P..'regions', name, int(clock))
      call('SADD', P..'awaited', name)
    end
  end
  call(batch.claims_more and 'SADD' or 'SREM', P..'awaited', batch.region)
  call('HSET', P..'regions', batch.region, int(clock))
  local flat = call('HGETALL', P..'regions')
  for i = 1, #flat, 2 do
    if clock - tonumber(flat[i + 1]) >= KEEP_REGIONS_S then call('HDEL', P..'regions', flat[i]) end
  end
end
local is_waiting = call('SCARD', P..'awaited') > 0

-- a clock that is wrong opens nothing; what one has opened is closed again
local function civil(seconds)  -- there is no os.date in a script
  local z = math.floor(seconds / DAY) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  local y = yoe + era * 400 + (m <= 2 and 1 or 0)
  local in_month = string.format('%04d-%02d', y, m)
  return string.format('%s-%02d', in_month, doy - math.floor((153 * mp + 2) / 5) + 1), in_month
end
local last_day, last_month = civil(clock + AHEAD_S)
local today, this_month = civil(clock)
local day, month = meta('day'), meta('month')
if batch.windows[1] > day then day = batch.windows[1] end
if batch.windows[2] > month then month = batch.windows[2] end
if day > last_day then day = today end
if month > last_month then month = this_month end
for _, e in ipairs(batch.entries) do
  if e.target > 0 then
    if #e.window == 7 then
      if e.window > month and e.window <= last_month then month = e.window end
    elseif e.window > day and e.window <= last_day then
      day = e.window
    end
  end
end
call('HSET', P..'meta', 'day', day, 'month', month)

if fresh then
  for _, c in ipairs(batch.claims) do
    local charge = c.account..'|'..c.window
    local a, l = account(charge, c.tenant), lease(charge)
    for name, spent in pairs(c.spent) do
      if name == state_name then
        a.settled = a.settled + math.max(spent - own(charge), 0)
      else
        local before, row = counted(charge), spender(charge, name)
        row.spent = math.max(row.spent, spent)
        a.settled = a.settled + counted(charge) - before
      end
    end
    local row = spender(charge, batch.region)
    a.lost = a.lost + c.lost - row.lost
    a.settled = a.settled - c.lost + row.lost
    row.lost = c.lost
    l.amount = l.amount + c.lease
    a.leased = a.leased + c.lease
  end
  for _, e in ipairs(batch.entries) do
    local charge = e.account..'|'..e.window
    local a, l = account(charge, e.tenant), lease(charge)
    local left = math.max(l.amount - e.settled - e.lost, 0)
    a.settled = a.settled + e.settled
    a.lost = a.lost + e.lost
    a.leased = a.leased + left - l.amount
    l.amount = left
    if is_region then
      if e.settled ~= 0 or e.lost ~= 0 then
        local row = spender(charge, batch.region)
        row.spent = row.spent + e.settled + e.lost
        row.lost = row.lost + e.lost
      end
    elseif batch.forgotten then
      local before, row = counted(charge), spender(charge, JOURNALS)
      row.spent = row.spent + e.settled + e.lost
      a.settled = a.settled - e.settled - e.lost + counted(charge) - before
    end
  end
  for _, each in ipairs(batch.lost) do
    local text = call('HGET', P..'fa', each.reservation_id)
    if text then
      local actual = math.min(cjson.decode(text)[2], each.upper)
      for _, charge in ipairs(each.charges) do
        local a = account(charge[1]..'|'..charge[2])
        a.lost = a.lost - each.upper
        a.settled = a.settled + actual
      end
      call('HDEL', P..'fa', each.reservation_id)
      call('ZREM', P..'f', each.reservation_id)
    else
      local charges = {}
      for i, charge in ipairs(each.charges) do charges[i] = cjson.encode(charge) end
      call('SET', P..'r:'..each.reservation_id,
           '{"upper":'..int(each.upper)..',"charges":'..array(charges)..'}', 'EX', 40 * DAY)
    end
  end
end

local limits = {}
for i, e in ipairs(batch.entries) do
  limits[i] = -1
  for _, name in ipairs(e.rules) do
    local limit = call('HGET', P..'limits', name)
    if limit then
      limits[i] = tonumber(limit)
      break
    end
  end
  local charge = e.account..'|'..e.window
  local a, l = account(charge, e.tenant), lease(charge)
  a.reserved = a.reserved + e.open - l.open
  l.open = e.open
  local change = batch.final and 0 or e.target - l.amount  -- a holder that ends keeps what is left for below
  if change > 0 then
    local may_grow = (e.window == day or e.window == month) and not is_waiting
    local free = 0
    if may_grow then free = math.max(math.max(limits[i], 0) - a.settled - a.lost - a.leased, 0) end
    local need = math.max(e.least - l.amount, 0)
    if need > free and may_grow then a.wanted_at = now end
    change = math.min(change, math.max(need, math.floor(free / BUFFER_SHARE)), free)
  end
  l.amount = l.amount + change
  a.leased = a.leased + change
end

if batch.final then
  for charge, l in pairs(leases) do
    local a = account(charge)
    if batch.lose_rest then a.lost = a.lost + l.amount end
    a.leased = a.leased - l.amount
    a.reserved = a.reserved - l.open
    l.amount, l.open = 0, 0
  end
end

local balances = {}
for i, e in ipairs(batch.entries) do
  local charge = e.account..'|'..e.window
  local a, l = account(charge), lease(charge)
  local contended = math.abs(now - a.wanted_at) < CONTENDED_S and 1 or 0
  balances[i] = '['..table.concat({int(l.amount), int(a.settled), int(a.lost), int(a.leased), int(a.reserved),
                                   int(limits[i]), contended}, ',')..']'
end

local spent = {}
for i, e in ipairs(is_region and batch.entries or {}) do
  local charge, told = e.account..'|'..e.window, {}
  for name, row in pairs(spenders_of(charge)) do
    if name ~= JOURNALS then told[#told + 1] = cjson.encode(name)..':'..int(row.spent) end
  end
  told[#told + 1] = cjson.encode(state_name)..':'..int(math.max(own(charge), 0))
  spent[i] = '{'..table.concat(told, ',')..'}'
end

store_accounts()
store_spenders()
store_leases(batch.holder, leases)
call('HSET', hkey, 'seq', int(batch.seq), 'state', batch.final and 'closed' or 'live')
if batch.final then
  call('ZREM', P..'seen', batch.holder)
  call('EXPIRE', hkey, 7 * DAY)
else
  call('ZADD', P..'seen', now + batch.life_s, batch.holder)
end

for _, n in ipairs(batch.consumed) do
  for _, name in ipairs(call('ZRANGEBYSCORE', P..'f', n, n)) do
    call('ZREM', P..'f', name)
    call('HDEL', P..'fa', name)
  end
end
local settlements, last = {}, batch.since
for i, name in ipairs(call('ZRANGEBYSCORE', P..'f', '('..int(batch.since), '+inf', 'LIMIT', 0, 10000)) do
  local told = cjson.decode(call('HGET', P..'fa', name))
  settlements[i] = '['..int(told[1])..','..cjson.encode(name)..','..int(told[2])..']'
  last = math.max(last, told[1])
end
return '{"state":"applied","version":'..int(num(meta('rules_version')))..',"balances":'..array(balances)
  ..',"day":'..cjson.encode(day)..',"month":'..cjson.encode(month)..',"settlements":'..array(settlements)
  ..',"last":'..int(last)..',"clock":'..int(clock)..',"spent":'..array(spent)
  ..',"regions":'..names_of(is_region and call('HKEYS', P..'regions') or {})
  ..',"awaited":'..names_of(is_region and awaited() or {})..'}'
"""
"""Apply one step of a holder."""

APPLIED: Final = """
local row = call('HMGET', P..'h:'..asked.holder, 'seq', 'state')
return '{"seq":'..(row[2] == 'closed' and '-1' or int(num(row[1])))..'}'
"""
"""The last step of a holder that was applied."""

EXPIRE: Final = """
local silent = call('ZRANGEBYSCORE', P..'seen', '-inf', '('..string.format('%.6f', asked.now_s - asked.ttl_s))
for _, holder in ipairs(silent) do
  local leases = leases_of(holder)
  for charge, l in pairs(leases) do
    local a = account(charge)
    a.leased = a.leased - l.amount
    a.lost = a.lost + l.amount
    a.reserved = a.reserved - l.open
    l.expired = l.expired + l.amount
    l.amount, l.open = 0, 0
  end
  store_leases(holder, leases)
  call('HSET', P..'h:'..holder, 'state', 'expired')
  call('ZREM', P..'seen', holder)
end
store_accounts()
for _, name in ipairs(call('ZRANGE', P..'f', 0, 999)) do
  if cjson.decode(call('HGET', P..'fa', name))[3] >= asked.now_s - DAY then break end
  call('ZREM', P..'f', name)
  call('HDEL', P..'fa', name)
end
return '{"n":'..#silent..'}'
"""
"""End the leases of holders that are silent."""

AWAITED: Final = "return '{\"awaited\":'..names_of(awaited())..'}'"
"""The regions that have to say what they know."""

GO_WITHOUT: Final = """
return '{"n":'..call('SREM', P..'awaited', asked.region)..'}'
"""
"""Wait for one no more."""

ACCOUNTS: Final = """
local found, day, month = {}, meta('day'), meta('month')
local of = given(asked.tenant) and {asked.tenant} or call('SMEMBERS', P..'tenants')
for _, tenant in ipairs(of) do
  for _, charge in ipairs(call('SMEMBERS', P..'t:'..tenant)) do
    local bar = string.find(charge, '|', 1, true)
    local name, window = string.sub(charge, 1, bar - 1), string.sub(charge, bar + 1)
    local kept = call('EXISTS', P..'a:'..charge) == 1
    if window == day or window == month or (asked.ended and kept) then
      local a = account(charge)
      found[#found + 1] = '['..table.concat({cjson.encode(name), cjson.encode(window), int(a.settled), int(a.lost),
                                             int(a.leased), int(a.reserved)}, ',')..']'
    elseif not kept then
      call('SREM', P..'t:'..tenant, charge)
    end
  end
end
return '{"accounts":'..array(found)..'}'
"""
"""Where accounts stand."""
