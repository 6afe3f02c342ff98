-- A call is about to be ended, and why is known. KEYS: open_calls. args: room, room_sid ('': the newest room of this
-- name), reason, over (true: its room is gone already). The first reason that is given stays. Returns 1 when there is
-- such a call and it has not ended.
local id = call_in(args.room, args.room_sid)
if not is_open(id) then
  return 0
end
if args.over then
  note.over(args.room, args.room_sid, args.reason)
else
  redis.call('HSETNX', log_of(id), 'reason', args.reason)
end
return 1
