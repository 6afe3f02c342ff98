-- Bring the queue up to date with callers and claims, and tell what changed since the last look.
-- KEYS: callers, waiting, inflight, changed, renewed, held.
-- ARGV: claim key prefix, grace_ms, call key prefix, ms of waiting that one level of priority is worth, prefix of the
-- jobs' channels, ms after which a renewal is overdue, ms that changes are kept, time of the last look (0: none),
-- which set to look through (1: callers, 2: waiting, 0: neither), cursor in it, cursor in held (0: a new round), time at
-- which its last round began, ms between two of those, how many of the set and of held to look through at once, room,
-- ... (to be looked at in any case).
-- A caller without a claim for longer than the grace is a waiting call. Its rank is the time it joined, less its
-- priority: it stays as it is, so that whoever waits longer overtakes every later one in the end.
-- Returns {now_ms, time up to which changes are told (there are more when it is not now), next cursor in the set looked through (0: done), id of the server or '', next cursor in held (0: done;
-- '': nobody asked), {{job that holds a call and does not listen, its room}, ...}, {room in held without a claim and
-- without a caller, ...}, {room, joined_ms or '', rank or '', claim or '', served}, ...}. Looked at are the calls that
-- changed, those of the part looked through, those asked for, and those whose job is silent or overdue; without a time
-- of joining there is no such call (any more). No look is longer for more calls: whoever wants all of them goes on with
-- the cursor.
-- `served` is the rank a call waited with when this very scan found its claim, else '': one scan of one replica sees it.
local AT_ONCE, MOST_CHANGES = 1000, 300
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local last, part_size = tonumber(ARGV[8]), ARGV[14]
local overdue = now - tonumber(ARGV[6])

local rooms, known = {}, {}
local function look_at(room)
  if not known[room] then
    known[room] = true
    rooms[#rooms + 1] = room
  end
end
local function in_parts(list, work)
  for from = 1, #list, AT_ONCE do
    local part = {}
    for i = from, math.min(#list, from + AT_ONCE - 1) do
      part[#part + 1] = list[i]
    end
    work(part)
  end
end
local function decoded(text)
  local readable, value = pcall(cjson.decode, text)
  return readable and type(value) == 'table' and value or nil
end
local function priority(room)
  local text = redis.call('GET', ARGV[3] .. room)
  local call = text and decoded(text)
  local level = call and tonumber(call.priority) or 0
  return math.max(0, math.min(9, level))
end

local cursor = '0'
if ARGV[9] ~= '0' then
  if ARGV[9] == '1' and ARGV[10] == '0' then
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[7]))
  end
  local found = redis.call('ZSCAN', KEYS[tonumber(ARGV[9])], ARGV[10], 'COUNT', part_size)
  cursor = found[1]
  for i = 1, #found[2], 2 do
    look_at(found[2][i])
  end
end
local told = now
if last > 0 then
  local changes = redis.call('ZRANGEBYSCORE', KEYS[4], last, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_CHANGES)
  for i = 1, #changes, 2 do
    look_at(changes[i])
  end
  if #changes == 2 * MOST_CHANGES then
    told = tonumber(changes[#changes])
    if told == last then
      -- More than that in one millisecond.
      for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], last, last)) do
        look_at(room)
      end
      told = last + 1
    end
  end
end
for i = 16, #ARGV do
  look_at(ARGV[i])
end
for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. overdue)) do
  look_at(room)
end
local next_held, silent, orphans, channels, room_of = '', {}, {}, {}, {}
local heard = tonumber(ARGV[12])
if ARGV[11] ~= '0' or now - heard >= tonumber(ARGV[13]) or now < heard then
  local held = redis.call('HSCAN', KEYS[6], ARGV[11], 'COUNT', ARGV[15])
  next_held = held[1]
  for i = 1, #held[2], 2 do
    local channel = ARGV[5] .. held[2][i + 1]
    channels[#channels + 1] = channel
    room_of[channel] = held[2][i]
  end
end
in_parts(channels, function(part)
  local quiet, claim_keys = {}, {}
  local counts = redis.call('PUBSUB', 'NUMSUB', unpack(part))
  for i = 1, #counts, 2 do
    if tonumber(counts[i + 1]) == 0 then
      quiet[#quiet + 1] = counts[i]
      claim_keys[#claim_keys + 1] = ARGV[1] .. room_of[counts[i]]
    end
  end
  if #quiet == 0 then
    return
  end
  local claims = redis.call('MGET', unpack(claim_keys))
  for i, channel in ipairs(quiet) do
    local room = room_of[channel]
    if claims[i] then
      silent[#silent + 1] = {string.sub(channel, #ARGV[5] + 1), room}
      look_at(room)
    elseif not redis.call('ZSCORE', KEYS[1], room) then
      orphans[#orphans + 1] = room
    end
  end
end)

-- A Redis that does not let us ask for its server's id does without: other guards are left.
local server = redis.pcall('INFO', 'server')
local life = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''
local out = {tostring(now), tostring(told), cursor, life, next_held, silent, orphans}
in_parts(rooms, function(part)
  local claim_keys = {}
  for i, room in ipairs(part) do
    claim_keys[i] = ARGV[1] .. room
  end
  local claims = redis.call('MGET', unpack(claim_keys))
  local joined = redis.call('ZMSCORE', KEYS[1], unpack(part))
  local ranks = redis.call('ZMSCORE', KEYS[2], unpack(part))
  local inflight = redis.call('ZMSCORE', KEYS[3], unpack(part))
  local renewed = redis.call('ZMSCORE', KEYS[5], unpack(part))
  for i, room in ipairs(part) do
    local claim, rank, served = claims[i], ranks[i], ''
    if claim or not joined[i] then
      if rank then
        served = claim and rank or ''
        redis.call('ZREM', KEYS[2], room)
        rank = false
      end
      if inflight[i] then
        redis.call('ZREM', KEYS[3], room)
      end
    elseif not rank and now - tonumber(joined[i]) >= tonumber(ARGV[2]) then
      rank = tostring(tonumber(joined[i]) - priority(room) * tonumber(ARGV[4]))
      redis.call('ZADD', KEYS[2], rank, room)
    end
    if not claim then
      if renewed[i] then
        redis.call('ZREM', KEYS[5], room)
      end
    elseif not renewed[i] then
      -- A job of an older release renews its claim and does not say so here.
      local value = decoded(claim)
      if value and value.state == 'live' and tonumber(value.renewed_ms) then
        redis.call('ZADD', KEYS[5], value.renewed_ms, room)
      end
    end
    out[#out + 1] = {room, joined[i] or '', rank or '', claim or '', served}
  end
end)
return out
