-- Take the first waiting calls of the queue that have no dispatch under way. KEYS: waiting, inflight.
-- args: claim_prefix, free_slots, alone_ms (for which a taken call is left alone), most (to take now). At most
-- `free_slots` dispatches are under way at once, whoever asks, so controller replicas never promise one slot twice.
-- Returns {room, ...}, the first of the queue first.
-- Looks at those under way, which stand at the head, and at those it takes: its time does not grow with those that wait.
local AT_ONCE = 500
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local busy = redis.call('ZCARD', KEYS[2])
local left = math.min(args.most, args.free_slots - busy)
local part = math.min(AT_ONCE, busy + left + 16)
local taken, from = {}, 0
while #taken < left do
  local rooms = redis.call('ZRANGE', KEYS[1], from, from + part - 1)
  if #rooms == 0 then
    break
  end
  from = from + #rooms
  local under_way, open, claims = redis.call('ZMSCORE', KEYS[2], unpack(rooms)), {}, {}
  for i, room in ipairs(rooms) do
    if not under_way[i] then
      open[#open + 1] = room
      claims[#claims + 1] = args.claim_prefix .. room
    end
  end
  if #open > 0 then
    local held, put = redis.call('MGET', unpack(claims)), {}
    for i, room in ipairs(open) do
      if #taken < left and not held[i] then
        taken[#taken + 1] = room
        put[#put + 1] = now + args.alone_ms
        put[#put + 1] = room
      end
    end
    if #put > 0 then
      redis.call('ZADD', KEYS[2], unpack(put))
    end
  end
end
return taken
